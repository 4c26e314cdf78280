// Where a unit falls: the published formula (bucketing v1).

import { hashSha256 } from './sha256.js';

const MILLION = 1_000_000;
const TWO_TO_32 = 2 ** 32;
const MAX_UNIT_LENGTH = 512; // in code points; longer units get the live version
const SEPARATOR = '\x1f';
const encoder = new TextEncoder();

/** Place of a unit in parts per million, 0 to 999,999. Throws RangeError if a text is not valid Unicode. */
export function computePlace(purpose, salt, unit) {
  return makePlacer(purpose, salt)(unit);
}

/** `computePlace` with purpose and salt fixed, for many units. */
export function makePlacer(purpose, salt) {
  const hash = makeHasher(purpose, salt);
  return (unit) => toPlace(hash(unit));
}

/** The first 64 bits of a unit's hash, as two unsigned 32-bit words; purpose and salt are fixed. */
export function makeHasher(purpose, salt) {
  const prefix = ['v1', purpose, salt, ''].join(SEPARATOR);
  return (unit) => {
    const text = prefix + unit;
    if (hasLoneSurrogate(text)) throw new RangeError('The unit is not valid Unicode.');
    return hashSha256(encoder.encode(text)).subarray(0, 2);
  };
}

/** Whether observations of this unit would be accepted. Nobody gets a new version that cannot be observed. */
export function isPlaceable(unit) {
  if (typeof unit !== 'string' || unit === '' || unit.includes('\0')) return false;
  return unit.length <= MAX_UNIT_LENGTH || (unit.length <= 2 * MAX_UNIT_LENGTH && [...unit].length <= MAX_UNIT_LENGTH);
}

/** The unit's hash; undefined if the unit is not valid Unicode. */
export function tryHash(hash, unit) {
  try {
    return hash(unit);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The place that belongs to the first 64 bits of a hash. */
export function toPlace([high, low]) {
  // (high * 2^32 + low) * 1,000,000 / 2^64, rounded down. Each product stays below 2^53, so no digit is lost.
  return Math.floor((high * MILLION + Math.floor((low * MILLION) / TWO_TO_32)) / TWO_TO_32);
}

/** The first 64 bits of a hash as 16 hex digits. */
export function toHex(words) {
  return Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
}

/** Whether half of a surrogate pair stands alone, which has no UTF-8. TextEncoder would replace it silently. */
function hasLoneSurrogate(text) {
  return /[\ud800-\udfff]/u.test(text);
}
