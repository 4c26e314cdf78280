// Cohort conditions: pairs of an attribute and its allowed texts, all of which must hold.

// What Python's strip() takes away, which differs from what trim() does.
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const OUTER_SPACE = new RegExp(`^${SPACE}+|${SPACE}+$`, 'g');

/** A test of an evaluation's context. In doubt somebody is outside: a list, an object or null matches nothing. */
export function compileConditions(conditions) {
  const tests = conditions.map(([attribute, allowed]) => buildTest(attribute, new Set(allowed)));
  return (context) => tests.every((test) => test(context));
}

function buildTest(attribute, allowed) {
  if (attribute === 'email_domain') return (context) => allowed.has(findEmailDomain(context));
  return (context) => allowed.has(formatValue(readAttribute(context, attribute)));
}

/** An attribute of the context itself, and nothing that every object inherits. */
function readAttribute(context, name) {
  return Object.hasOwn(context, name) ? context[name] : undefined;
}

function formatValue(value) {
  switch (typeof value) {
    case 'string':
      return value;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      return Number.isInteger(value) ? BigInt(value).toString() : formatShortest(value);
    default:
      return undefined;
  }
}

/** C's `%g`: six significant digits without trailing zeros, with an exponent if it is below -4 or above 5. */
function formatShortest(value) {
  if (!Number.isFinite(value)) return { NaN: 'nan', Infinity: 'inf', '-Infinity': '-inf' }[value];
  const [digits, exponent] = value.toExponential(5).split('e');
  const power = Number(exponent);
  if (power >= -4 && power < 6) return trimZeros(value.toFixed(5 - power));
  return `${trimZeros(digits)}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

function trimZeros(text) {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** The lower-case domain of `email`; without an `email`, the `email_domain` that was given. */
function findEmailDomain(context) {
  const email = readAttribute(context, 'email');
  if (email === undefined || email === null) {
    const given = readAttribute(context, 'email_domain');
    return typeof given === 'string' ? given.toLowerCase() : undefined;
  }
  if (typeof email !== 'string') return undefined;
  const trimmed = email.replace(OUTER_SPACE, '');
  const at = trimmed.lastIndexOf('@');
  return at > 0 ? trimmed.slice(at + 1).toLowerCase() : undefined;
}
