// Tests on real kernels, in machines that a rig boots. Without a rig they are left out and the reason is printed.
// MINIVMM_RIG: the folder of the rig, whose rig.sh boots a kernel with emulated devices and runs a command there.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { mergeConfig } from "vitest/config";
import shared from "./vitest.shared.mjs";

function missing(tools) {
  const rig = process.env.MINIVMM_RIG;
  if (!rig) return "MINIVMM_RIG does not name the folder of a rig";
  if (!existsSync(join(rig, "rig.sh"))) return `there is no rig.sh in ${rig}`;
  if (process.platform !== "linux" || process.arch !== "x64") return `this is ${process.platform} ${process.arch}`;
  if (process.getuid() !== 0) return "it needs root";
  const tool = tools.find((each) => spawnSync(each, ["--version"]).error);
  return tool === undefined ? null : `there is no ${tool}`;
}

/** The tests in test/rig, which also need `tools` of this machine. */
export function rigTests(tools = []) {
  const reason = missing(tools);
  if (reason) console.log(`Rig tests skipped: ${reason}`);
  const config = mergeConfig(shared, {
    test: {
      outputFile: { json: "reports/test-rig.json" },
      passWithNoTests: true,
      testTimeout: 22_000_000,
      hookTimeout: 22_000_000,
      fileParallelism: false,
    },
  });
  config.test.include = reason ? [] : ["test/rig/**/*.test.ts"];
  config.test.exclude = [];
  return config;
}
