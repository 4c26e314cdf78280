// Layers: which units belong to one of several surfaces that share users.

import { makePlacer } from './bucketing.js';

/** Whether a unit's slot in the layer is among those of the surface; everybody's is without a layer. */
export function compileLayer(layer) {
  if (layer === undefined) return () => true;
  const findSlot = makePlacer('layer', layer.name);
  return (unit) => {
    const slot = findSlot(unit);
    return layer.slots.some(([start, below]) => start <= slot && slot < below);
  };
}
