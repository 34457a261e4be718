// Boots of a real Linux kernel. They need one: MINIVMM_GUEST_KERNEL names an uncompressed ppc64le vmlinux and
// MINIVMM_GUEST_MODULES its folder lib/modules/VERSION; without them nothing runs and the reason is printed.
import { mergeConfig } from "vitest/config";
import shared from "../../vitest.shared.mjs";

const { MINIVMM_GUEST_KERNEL: kernel, MINIVMM_GUEST_MODULES: modules } = process.env;
const ready = Boolean(kernel && modules);
if (!ready) console.log("Linux boots skipped: set MINIVMM_GUEST_KERNEL and MINIVMM_GUEST_MODULES");

const config = mergeConfig(shared, {
  test: { outputFile: { json: "reports/test-linux.json" }, passWithNoTests: true, testTimeout: 300_000 },
});
config.test.include = ready ? ["test/linux/**/*.test.ts"] : [];
config.test.exclude = [];
export default config;
