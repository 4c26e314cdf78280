// From the snapshot to one rule for each surface.

import { makeHasher, toHex, toPlace } from './bucketing.js';
import { compileConditions } from './targeting.js';

const FORMAT = 1;
const MAX_UNIT_LENGTH = 512; // in code points; longer units get the live version

/** The rule of each surface, by name. Throws if the snapshot has a format that this version does not read. */
export function compileSnapshot(document) {
  if (document.format !== FORMAT) {
    throw new Error(`The snapshot has format ${document.format}, and this version reads ${FORMAT}: upgrade rampart-evaluator.`);
  }
  return new Map(Object.entries(document.surfaces).map(([name, surface]) => [name, compileSurface(name, surface)]));
}

function compileSurface(name, surface) {
  const answers = surface.answers.map((answer) =>
    Object.freeze({ surface: name, value: surface.versions[answer.version], ...answer }),
  );
  const live = answers[surface.live];
  return { live, evaluate: surface.exposure === null ? () => live : compileChoice(surface.exposure, answers, live) };
}

function compileChoice(exposure, answers, live) {
  const hash = makeHasher('expose', exposure.salt);
  const movedBack = new Set(exposure.moved_back);
  const isInCohort = exposure.cohort === null ? () => true : compileConditions(exposure.cohort);
  const earlier = exposure.earlier_cohorts.map((cohort) => ({ ...cohort, isMember: compileConditions(cohort.where) }));

  return (unit, context = {}) => {
    const words = isPlaceable(unit) ? tryHash(hash, unit) : undefined;
    if (words === undefined) return live;
    if (movedBack.size > 0 && movedBack.has(toHex(words))) return answers[exposure.moved];
    const place = toPlace(words);
    for (const cohort of earlier) {
      if (cohort.isMember(context)) return answers[place < cohort.below ? cohort.new : cohort.live];
    }
    if (!isInCohort(context)) return answers[exposure.outside];
    if (place < exposure.canary_below) return answers[exposure.canary];
    return answers[place >= exposure.control_from ? exposure.control : exposure.stable];
  };
}

/** Whether observations of this unit would be accepted. Nobody gets a new version that cannot be observed. */
function isPlaceable(unit) {
  if (typeof unit !== 'string' || unit === '' || unit.includes('\0')) return false;
  return unit.length <= MAX_UNIT_LENGTH || (unit.length <= 2 * MAX_UNIT_LENGTH && [...unit].length <= MAX_UNIT_LENGTH);
}

/** The unit's hash; undefined if the unit is not valid Unicode. */
function tryHash(hash, unit) {
  try {
    return hash(unit);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
