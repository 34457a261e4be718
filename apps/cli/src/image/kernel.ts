// Looks at a kernel file before anything is set up: it has to be a readable file. What is in it is the loader's business.
import { closeSync, fstatSync, openSync } from "node:fs";
import { CliError, reasonOf } from "../errors.ts";

/** `kind` is what the machine takes, for the hint. Throws CliError USAGE_KERNEL. */
export function checkKernelFile(path: string, kind: string): void {
  let why: string | undefined;
  try {
    const fd = openSync(path, "r");
    if (!fstatSync(fd).isFile()) why = "it is not a file";
    closeSync(fd);
  } catch (error) {
    why = reasonOf(error);
  }
  if (why === undefined) return;
  throw new CliError(`cannot read the kernel: ${path}: ${why}`, {
    code: "USAGE_KERNEL",
    details: { path },
    hint: `give the path of ${kind}`,
  });
}
