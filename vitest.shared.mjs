// What every package's tests share: sources of neighbours are used directly (condition "source"),
// and each run leaves reports/test.json, which the workspace's test command adds up.
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/{kvm,linux,rig,slow}/**"],
    reporters: ["default", "json"],
    outputFile: { json: "reports/test.json" },
    passWithNoTests: false,
    testTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
