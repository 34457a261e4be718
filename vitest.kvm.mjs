// Tests that need a working /dev/kvm on x86_64; without one they are left out and the reason is printed.
import { accessSync, constants } from "node:fs";
import { mergeConfig } from "vitest/config";
import shared from "./vitest.shared.mjs";

function missing() {
  if (process.arch !== "x64") return `the guest program is x86 code and this machine is ${process.arch}`;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return `/dev/kvm cannot be opened (${error.code})`;
  }
}

const reason = missing();
if (reason) console.log(`KVM tests skipped: ${reason}`);

const config = mergeConfig(shared, { test: { outputFile: { json: "reports/test-kvm.json" }, passWithNoTests: true } });
config.test.include = reason ? [] : ["test/kvm/**/*.test.ts"];
config.test.exclude = [];
export default config;
