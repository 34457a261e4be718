// Wasm functions for arithmetic that has no Wasm instruction: high half of a product, 128-by-64-bit division, bit permute.

import { label } from "../wasm/body.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import {
  br,
  brIf,
  i32,
  i64,
  local32,
  local64,
  loop,
  memoryCopy,
  memoryFill,
  param32,
  param64,
  ret,
  select64,
  seq,
  when,
} from "../wasm/ops.ts";
import { RAM_BYTES, RAM_START } from "./layout.ts";

export interface Helpers {
  readonly mulhdu: number;
  readonly divdeu: number;
  readonly bpermd: number;
}

const BOTH = ["i64", "i64"] as const;

/** Schoolbook multiplication in 32-bit digits; returns bits 64..127 of the product. */
function multiplyHigh(module: ModuleBuilder): number {
  return module.addFunction(BOTH, ["i64"], (f) => {
    const [x, y] = [param64(0), param64(1)];
    const middle = local64(f);
    const low = (value: typeof x.get): typeof x.get => i64.and(value, i64.const(0xffffffff));
    const high = (value: typeof x.get): typeof x.get => i64.shrU(value, i64.const(32));
    const carried = i64.add(i64.mul(high(x.get), low(y.get)), high(i64.mul(low(x.get), low(y.get))));
    const other = i64.add(i64.mul(low(x.get), high(y.get)), low(middle.get));
    return seq(middle.set(carried), i64.add(i64.add(i64.mul(high(x.get), high(y.get)), high(middle.get)), high(other)));
  });
}

/** (x * 2^64) / y by shift and subtract; meaningful when x < y (otherwise some number, never a trap). */
function divideExtended(module: ModuleBuilder): number {
  return module.addFunction(BOTH, ["i64"], (f) => {
    const [rest, divisor] = [param64(0), param64(1)];
    const [quotient, carry, count] = [local64(f), local64(f), local32(f)];
    const again = label("again");
    const one = i64.const(1);
    return seq(
      count.set(i32.const(64)),
      loop(
        again,
        carry.set(i64.shrU(rest.get, i64.const(63))),
        rest.set(i64.shl(rest.get, one)),
        quotient.set(i64.shl(quotient.get, one)),
        when(
          i32.or(i32.wrap(carry.get), i64.geU(rest.get, divisor.get)),
          seq(rest.set(i64.sub(rest.get, divisor.get)), quotient.set(i64.or(quotient.get, one))),
        ),
        brIf(again, count.tee(i32.sub(count.get, i32.const(1)))),
      ),
      quotient.get,
    );
  });
}

/** Bit i of the result is the bit of y that byte i of x numbers (from the left); 0 when the number is above 63. */
function bitPermute(module: ModuleBuilder): number {
  return module.addFunction(BOTH, ["i64"], (f) => {
    const [indices, source] = [param64(0), param64(1)];
    const [result, index, bit] = [local64(f), local64(f), local64(f)];
    const again = label("again");
    return seq(
      loop(
        again,
        index.set(i64.and(i64.shrU(indices.get, i64.shl(bit.get, i64.const(3))), i64.const(0xff))),
        result.set(
          i64.or(
            result.get,
            select64(
              i64.ltU(index.get, i64.const(64)),
              i64.shl(i64.and(i64.shrU(source.get, i64.sub(i64.const(63), index.get)), i64.const(1)), bit.get),
              i64.const(0),
            ),
          ),
        ),
        bit.set(i64.add(bit.get, i64.const(1))),
        when(i64.ltU(bit.get, i64.const(8)), br(again)),
      ),
      result.get,
    );
  });
}

export function addHelpers(module: ModuleBuilder): Helpers {
  return {
    mulhdu: multiplyHigh(module),
    divdeu: divideExtended(module),
    bpermd: bitPermute(module),
  };
}

/** Exports fill, copy and same: bulk work on the shared memory, which typed arrays do slowly when it is shared. */
export function addMemoryTools(module: ModuleBuilder): void {
  const three = ["i32", "i32", "i32"] as const;
  const [x, y, length] = [param32(0), param32(1), param32(2)];
  module.addFunction(three, [], () => memoryFill(x.get, y.get, length.get), "fill");
  module.addFunction(three, [], () => memoryCopy(x.get, y.get, length.get), "copy");
  module.addFunction(
    three,
    ["i32"],
    (f) => {
      const at = local32(f);
      const again = label("again");
      const word = (base: typeof x): ReturnType<typeof i64.load> => i64.load(i32.add(base.get, at.get));
      return seq(
        loop(
          again,
          when(i64.ne(word(x), word(y)), ret(i32.const(0))),
          at.set(i32.add(at.get, i32.const(8))),
          brIf(again, i32.ltU(at.get, length.get)),
        ),
        i32.const(1),
      );
    },
    "same",
  );
}

/** Exports ramAt and load64: guest RAM for compiled code that is called from the interpreter. */
export function addGuestMemory(module: ModuleBuilder): void {
  const zero = i32.const(0);
  module.addFunction(
    ["i64", "i32"],
    ["i32"],
    (f) => {
      const [real, bytes] = [param64(0), param32(1)];
      const limit = local64(f);
      return seq(
        limit.set(i64.extendU(i32.load(zero, RAM_BYTES))),
        when(i64.geU(real.get, limit.get), ret(zero)),
        when(i64.gtU(i64.extendU(bytes.get), i64.sub(limit.get, real.get)), ret(zero)),
        i32.add(i32.load(zero, RAM_START), i32.wrap(real.get)),
      );
    },
    "ramAt",
  );
  module.addFunction(["i32"], ["i64"], () => i64.load(param32(0).get), "load64");
}
