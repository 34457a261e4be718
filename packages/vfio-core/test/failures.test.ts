// Every failure that a user of VFIO meets: it is produced on a modelled host, and its error names the cause (who, how
// much, which file) and the remedy. The rows are in failures/; what the modelled kernel cannot refuse is refused for it.
import { describe, expect, it } from "vitest";
import { VfioError } from "../src/index.ts";
import { BEFORE } from "./failures/before.ts";
import { BINDING } from "./failures/binding.ts";
import { DEVICE } from "./failures/devices.ts";
import { GROUPS } from "./failures/groups.ts";
import { MEMORY } from "./failures/memory.ts";
import { NODES } from "./failures/nodes.ts";
import type { Failure } from "./failures/table.ts";

const ALL = [...BEFORE, ...NODES, ...GROUPS, ...MEMORY, ...DEVICE, ...BINDING];

function failureOf({ make }: Failure): VfioError {
  const run = make();
  try {
    run();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

describe("vfio-core failures", () => {
  it.each(ALL.map((each) => [each.what, each] as const))("vfio-core failure: %s", (_what, failure) => {
    const { code, errno, says, helps, details = {} } = failure;
    const error = failureOf(failure);
    expect({ code: error.code, errno: error.errno }).toEqual({ code, errno });
    for (const piece of says) expect(error.message).toMatch(piece);
    for (const piece of helps) expect(error.hint).toMatch(piece);
    expect(error.details).toMatchObject(details);
    // One line each, and a sentence at the end of the remedy unless that is a command.
    expect(`${error.message}${error.hint}`).not.toMatch(/[\n\r]|undefined|null|NaN|\[object/);
  });

  it("vfio-core failures: no two have the same message, and those of one code differ in what helps or whom they name", () => {
    const errors = ALL.map(failureOf);
    const texts = errors.map(({ errno, message, hint }) => `${errno} ${message}\n${hint}`);
    expect(texts.filter((text, i) => texts.indexOf(text) !== i)).toEqual([]);
  });
});
