// From the snapshot to one rule for each surface.

import { isPlaceable, makeHasher, toHex, toPlace, tryHash } from './bucketing.js';
import { compileFinishing, formatConversation } from './conversations.js';
import { compileLayer } from './layers.js';
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
      stratum: formatStratum(answer),
      conversation: formatConversation({ surface: name, ...answer }),
    }),
  );
  const live = answers[surface.live];
  const exposure = surface.layered ?? surface.exposure;
  const choose = exposure === null ? () => live : compileChoice(exposure, answers, live);
  const finishing = surface.finishing ?? {};
  const finishes = Object.keys(finishing).length > 0;
  const final = new Set(listFinal(exposure).map((index) => answers[index]));
  return { live, evaluate: finishes ? compileFinishing(name, finishing, answers, choose, final) : choose };
}

/** The answers that hold in every conversation: of who was moved back, and of cohorts that were rolled back. */
function listFinal(exposure) {
  if (exposure === null) return [];
  return [exposure.moved, ...exposure.earlier_cohorts.filter(({ below }) => below === 0).map(({ live }) => live)];
}

/** In which audience of which rollout this answer is given; empty where it belongs to none. */
function formatStratum({ rollout, cohort, variant }) {
  if (cohort === '' && variant === 'stable') return '';
  return cohort === '' ? rollout : `${rollout}/${cohort}`;
}

function compileChoice(exposure, answers, live) {
  const hash = makeHasher('expose', exposure.salt);
  const movedBack = new Set(exposure.moved_back);
  const isInLayer = compileLayer(exposure.layer);
  const isInCohort = exposure.cohort === null ? () => true : compileConditions(exposure.cohort);
  const earlier = exposure.earlier_cohorts.map((cohort) => ({ ...cohort, isMember: compileConditions(cohort.where) }));
  const strata = listStrata(exposure, answers, earlier);
  const chooseArm = (place) => {
    if (place < exposure.canary_below) return answers[exposure.canary];
    return answers[place >= exposure.control_from ? exposure.control : exposure.stable];
  };
  const chooseIn = (cohort, place) => answers[place < cohort.below ? cohort.new : cohort.live];

  return (unit, context = {}) => {
    const words = isPlaceable(unit) ? tryHash(hash, unit) : undefined;
    if (words === undefined) return live;
    if (movedBack.size > 0 && movedBack.has(toHex(words))) return answers[exposure.moved];
    if (!isInLayer(unit)) return answers[exposure.outside];
    const place = toPlace(words);
    const known = findStratum(strata, Object.hasOwn(context, 'stratum') ? context.stratum : undefined);
    if (known !== undefined) return known === null ? chooseArm(place) : chooseIn(known, place);
    const cohort = earlier.find(({ isMember }) => isMember(context));
    if (cohort !== undefined) return chooseIn(cohort, place);
    return isInCohort(context) ? chooseArm(place) : answers[exposure.outside];
  };
}

/** What applications send back of an earlier evaluation, with its cohort; null for the arms of the stage itself. */
function listStrata(exposure, answers, earlier) {
  if (earlier.length === 0 && exposure.cohort === null) return new Map();
  const own = exposure.cohort === null ? exposure.salt : `${exposure.salt}/${answers[exposure.canary].cohort}`;
  return new Map([[own, null], ...earlier.map((cohort) => [answers[cohort.live].stratum, cohort])]);
}

function findStratum(strata, sent) {
  const found = (Array.isArray(sent) ? sent : [sent]).find((one) => typeof one === 'string' && strata.has(one));
  return found === undefined ? undefined : strata.get(found);
}
