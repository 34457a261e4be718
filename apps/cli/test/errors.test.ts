// One way to print a failure: what, on what, why; causes by number; a hint; no stack unless asked.
import { readFileSync } from "node:fs";
import { MinivmmError } from "@minivmm/host";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CliError, exitStatusOf, renderError, usageError } from "../src/errors.ts";

const systemError = (): unknown => {
  try {
    readFileSync("/nonexistent/file");
  } catch (error) {
    return error;
  }
  throw new Error("there is such a file");
};

describe("cli errors: rendering", () => {
  it("has message, numbered causes and hint", () => {
    const deepest = new MinivmmError("IOMMU group 4 is in use", { code: "GROUP_BUSY", errno: 16 });
    const cause = new MinivmmError("the group cannot be opened", { code: "GROUP", cause: deepest });
    const error = new CliError("cannot start: 0001:01:00.0: not available", {
      code: "X",
      hint: "stop the other one",
      cause,
    });
    expect(renderError(error)).toBe(
      [
        "minivmm: cannot start: 0001:01:00.0: not available",
        "  1. the group cannot be opened",
        "  2. IOMMU group 4 is in use",
        "hint: stop the other one",
        "",
      ].join("\n"),
    );
  });

  it("does not repeat a cause that the message has quoted", () => {
    const cause = systemError();
    const error = new CliError("cannot read: /nonexistent/file: no such file or directory", { code: "X", cause });
    expect(renderError(error)).toBe("minivmm: cannot read: /nonexistent/file: no such file or directory\n");
  });

  it("puts a system error in words", () => {
    expect(renderError(systemError())).toBe("minivmm: cannot open: /nonexistent/file: no such file or directory\n");
  });

  it("calls a defect a defect, and shows the stack only with --debug", () => {
    const error = new TypeError("x is undefined");
    expect(renderError(error)).toBe(
      "minivmm: internal error: x is undefined\nhint: this is a defect of minivmm; --debug shows where\n",
    );
    expect(renderError(error, { debug: true })).toContain("errors.test.ts");
    expect(renderError(usageError("a"))).not.toContain("errors.test.ts");
  });

  it("ends with causes that go in a circle", () => {
    const a = new Error("a");
    const b = new Error("b", { cause: a });
    a.cause = b;
    expect(renderError(new CliError("top", { code: "X", cause: a }))).toBe("minivmm: top\n  1. a\n  2. b\n");
  });

  it("is one line per statement whatever bytes are in a message", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const lines = renderError(new CliError(`bad: ${text}`, { code: "X", hint: "h" })).split("\n");
        expect(lines).toHaveLength(3);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is left is what is tested
        expect(lines[0]).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
      }),
    );
  });
});

describe("cli errors: exit status", () => {
  it("is 2 for usage, 130 for an interruption, 1 for the rest", () => {
    expect(exitStatusOf(usageError("x"))).toBe(2);
    expect(exitStatusOf(new MinivmmError("x", { code: "USAGE_MEMORY" }))).toBe(2);
    expect(exitStatusOf(new CliError("x", { code: "INTERRUPTED" }))).toBe(130);
    expect(exitStatusOf(new MinivmmError("x", { code: "REFUSED" }))).toBe(1);
    expect(exitStatusOf(new Error("x"))).toBe(1);
  });
});
