// Conversations under way: which of them go on with the version that they began with.

import { isPlaceable, makeHasher, toHex, toPlace, tryHash } from './bucketing.js';
import { compileLayer } from './layers.js';
import { compileConditions } from './targeting.js';

/** What a conversation that begins with this answer sends back as `conversation` in the context of its later turns. */
export function formatConversation({ surface, version, exposure }) {
  return exposure === '' ? `${surface}@${version}` : `${surface}@${version}/${exposure}`;
}

/**
 * `choose`, and for a conversation under way the version that it began with, if that version still finishes and was
 * served to the unit. `final` are answers that hold in every conversation.
 */
export function compileFinishing(surface, finishing, answers, choose, final) {
  const prefix = `${surface}@`;
  const versions = new Map(
    Object.entries(finishing).map(([name, { answer, served_to: servedTo }]) => [
      name,
      { kept: answers[answer], servedTo: servedTo === null ? null : servedTo.map(compileServed) },
    ]),
  );

  return (unit, context = {}) => {
    const answer = choose(unit, context);
    const origin = findOrigin(prefix, Object.hasOwn(context, 'conversation') ? context.conversation : undefined);
    if (origin === undefined || final.has(answer)) return answer;
    if (origin === answer.conversation || !isPlaceable(unit)) return answer;
    const found = versions.get(origin.slice(prefix.length).split('/', 1)[0]);
    if (found === undefined) return answer;
    const { kept, servedTo } = found;
    if (kept.version === answer.version && answer.variant === 'stable') return answer;
    return servedTo === null || servedTo.some((wasServed) => wasServed(unit, context)) ? kept : answer;
  };
}

/** What the conversation began with on this surface; undefined if nothing was sent for it. */
function findOrigin(prefix, sent) {
  return (Array.isArray(sent) ? sent : [sent]).find((one) => typeof one === 'string' && one.startsWith(prefix));
}

function compileServed({ salt, shares, layered_shares: layeredShares, layer, moved_back: movedBack, taken_back: takenBack }) {
  const hash = makeHasher('expose', salt);
  const moved = new Set(movedBack);
  const wasTakenBack = takenBack.map(compileConditions);
  const isInLayer = compileLayer(layer);
  const compiled = (layeredShares ?? shares).map(({ where, below }) => ({
    below,
    isMember: where === null ? () => true : compileConditions(where),
  }));

  return (unit, context) => {
    const words = tryHash(hash, unit);
    if (words === undefined || moved.has(toHex(words)) || wasTakenBack.some((test) => test(context))) return false;
    if (!isInLayer(unit)) return false;
    const place = toPlace(words);
    return compiled.some(({ below, isMember }) => place < below && isMember(context));
  };
}
