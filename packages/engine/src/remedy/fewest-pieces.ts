/**
 * The fewest pieces of at most `most` with which a trial succeeds. More of them never give less, so that the number is doubled and then
 * halved in. `grows`: whether a second piece gives more than the first.
 */
export function fewestPieces<Result>(
  most: number,
  grows: boolean,
  tried: (quantity: number) => Result | null,
): { readonly quantity: number; readonly result: Result } | null {
  if (most < 1) return null;
  let quantity = 1;
  let result = tried(quantity);
  let below = 0;
  while (result === null) {
    if (!grows || quantity >= most) return null;
    below = quantity;
    quantity = Math.min(quantity * 2, most);
    result = tried(quantity);
  }
  while (quantity - below > 1) {
    const middle = below + Math.floor((quantity - below) / 2);
    const fewer = tried(middle);
    if (fewer === null) below = middle;
    else {
      quantity = middle;
      result = fewer;
    }
  }
  return { quantity, result };
}
