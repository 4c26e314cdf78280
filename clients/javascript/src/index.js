// Evaluates Rampart's snapshot by the same rules as Rampart itself.

export { computePlace } from './bucketing.js';
export { compileSnapshot } from './snapshot.js';
