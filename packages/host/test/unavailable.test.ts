import { createRequire } from "node:module";
import { afterEach, describe, expect, test, vi } from "vitest";
import { realHost } from "../src/index.ts";
import { ModelKernel } from "../src/model/index.ts";

// A machine on which koffi has no binary: its module cannot be required.
vi.mock("node:module", async (original) => ({
  ...(await original<typeof import("node:module")>()),
  createRequire: () => () => {
    throw new Error("no such binary");
  },
}));

const platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;
const arch = Object.getOwnPropertyDescriptor(process, "arch") as PropertyDescriptor;
function pretend(system: string, machine: string): void {
  Object.defineProperty(process, "platform", { ...platform, value: system });
  Object.defineProperty(process, "arch", { ...arch, value: machine });
}
afterEach(() => {
  Object.defineProperty(process, "platform", platform);
  Object.defineProperty(process, "arch", arch);
});

describe("host where system calls cannot be made", () => {
  test("host real: without koffi, realHost says so and says what to do", () => {
    expect(createRequire("file:///")).toThrow("no such binary");
    pretend("linux", "x64");
    expect(realHost).toThrow(
      expect.objectContaining({ code: "KOFFI_UNAVAILABLE", hint: expect.stringContaining("modelled host") }),
    );
  });

  test.each([
    ["darwin", "x64"],
    ["linux", "s390x"],
  ])("host real: %s %s is refused by name", (system, machine) => {
    pretend(system, machine);
    expect(realHost).toThrow(
      expect.objectContaining({ code: "HOST_UNSUPPORTED", details: { platform: system, arch: machine } }),
    );
  });

  test("host model: works there all the same", () => {
    pretend("darwin", "s390x");
    expect(new ModelKernel().spawn().eventfd(0, 0)).toBe(0);
  });
});
