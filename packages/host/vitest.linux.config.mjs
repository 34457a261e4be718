// Tests that make real system calls; on another system they are left out and the reason is printed.
import { mergeConfig } from "vitest/config";
import shared from "../../vitest.shared.mjs";

const supported = process.platform === "linux" && process.arch === "x64";
if (!supported) console.log(`Linux tests skipped: this is ${process.platform} ${process.arch}, they need linux x64`);

const config = mergeConfig(shared, {
  test: { outputFile: { json: "reports/test-linux.json" }, passWithNoTests: true },
});
config.test.include = supported ? ["test/linux/**/*.test.ts"] : [];
config.test.exclude = [];
export default config;
