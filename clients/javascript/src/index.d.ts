/** Which version a unit gets. One of the few answers of a surface, shared by everybody who gets it. */
export interface Evaluation {
  readonly surface: string;
  readonly version: string;
  /** The version's whole content. */
  readonly value: Readonly<Record<string, unknown>>;
  readonly variant: 'canary' | 'control' | 'stable';
  readonly reason: 'SPLIT' | 'TARGETING_MATCH' | 'DEFAULT';
  readonly rollout: string;
  readonly cohort: string;
  readonly stage: string;
  /** Sent back in observations; empty without a rollout. */
  readonly exposure: string;
  /** Sent back as `stratum` in the context of later evaluations; keep the one before where it is empty. */
  readonly stratum: string;
  /** Kept of a conversation's first turn, and sent as `conversation` in the context of the later ones. */
  readonly conversation: string;
}

export interface SurfaceRule {
  /** Everybody's answer while whoever evaluates is out of touch with Rampart. */
  readonly live: Evaluation;
  /** The answer for one unit; `context` decides cohorts. */
  evaluate(unit: string | null | undefined, context?: Readonly<Record<string, unknown>>): Evaluation;
}

/** The rule of each surface, by name. Throws if the snapshot has a format that this version does not read. */
export function compileSnapshot(document: unknown): Map<string, SurfaceRule>;

/** Place of a unit in parts per million, 0 to 999,999. Throws RangeError if a text is not valid Unicode. */
export function computePlace(purpose: 'expose' | 'layer' | 'holdout' | 'control', salt: string, unit: string): number;
