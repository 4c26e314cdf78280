// From the snapshot to one rule for each surface.

import { isPlaceable, makeHasher, toHex, toPlace, tryHash } from './bucketing.js';
import { compileFinishing, formatConversation } from './conversations.js';
import { compileConditions } from './targeting.js';

const FORMAT = 1;

/** The rule of each surface, by name. Throws if the snapshot has a format that this version does not read. */
export function compileSnapshot(document) {
  if (document.format !== FORMAT) {
    throw new Error(`The snapshot has format ${document.format}, and this version reads ${FORMAT}: upgrade rampart-evaluator.`);
  }
  return new Map(Object.entries(document.surfaces).map(([name, surface]) => [name, compileSurface(name, surface)]));
}

function compileSurface(name, surface) {
  const answers = surface.answers.map((answer) =>
    Object.freeze({
      surface: name,
      value: surface.versions[answer.version],
      ...answer,
      conversation: formatConversation({ surface: name, ...answer }),
    }),
  );
  const live = answers[surface.live];
  const choose = surface.exposure === null ? () => live : compileChoice(surface.exposure, answers, live);
  const finishing = surface.finishing ?? {};
  const finishes = Object.keys(finishing).length > 0;
  const moved = answers[surface.exposure?.moved];
  return { live, evaluate: finishes ? compileFinishing(name, finishing, answers, choose, moved) : choose };
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
