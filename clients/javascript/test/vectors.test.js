// The vectors that Rampart and every client are tested with.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { compileSnapshot, computePlace } from '../src/index.js';
import { hashSha256 } from '../src/sha256.js';

const vectors = JSON.parse(readFileSync(new URL('../../vectors.json', import.meta.url), 'utf8'));

test('a unit falls where it falls in Rampart', () => {
  assert.ok(vectors.places.length > 40);
  for (const { purpose, salt, unit, place } of vectors.places) assert.equal(computePlace(purpose, salt, unit), place);
});

for (const { title, document, cases } of vectors.evaluations) {
  test(`everybody gets the answer that Rampart gives: ${title}`, () => {
    const rule = compileSnapshot(document).get('support-assistant');
    for (const { unit, context, ...expected } of cases) {
      const { version, variant, reason, cohort, exposure } = rule.evaluate(unit, context);
      assert.deepEqual({ version, variant, reason, cohort, exposure }, expected, JSON.stringify({ unit, context }));
    }
  });
}

test('the hash is SHA-256 for every length up to three blocks', () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length) % 256);
    const digest = createHash('sha256').update(bytes).digest();
    assert.deepEqual([...hashSha256(bytes)], Array.from({ length: 8 }, (_, i) => digest.readUInt32BE(i * 4)));
  }
});

test('a text that is not valid Unicode has no place', () => {
  assert.throws(() => computePlace('expose', 'R-1', '\ud800'), RangeError);
  assert.equal(typeof computePlace('expose', 'R-1', '\ud83d\ude00'), 'number');
});

test('an attribute that every object inherits is not one of the context', () => {
  const document = structuredClone(vectors.evaluations.find(({ title }) => title === 'a cohort').document);
  document.surfaces['support-assistant'].exposure.cohort = [['constructor', ['function Object() { [native code] }']]];
  assert.equal(compileSnapshot(document).get('support-assistant').evaluate('user-46', {}).version, 'v42');
});

test('a format of a newer Rampart is refused', () => {
  assert.throws(() => compileSnapshot({ format: 2, surfaces: {} }), /upgrade/);
});
