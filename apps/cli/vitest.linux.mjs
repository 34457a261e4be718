// The tests that boot a distribution's kernel: they need apt and, the first time, the network.
import { defineConfig } from "vitest/config";
import shared from "../../vitest.shared.mjs";

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    include: ["test/linux/**/*.test.ts"],
    exclude: [],
    outputFile: { json: "reports/test-linux.json" },
    testTimeout: 600_000,
  },
});
