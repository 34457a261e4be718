// Long random sequences: minutes instead of seconds, a task of their own (`turbo run test:slow`) that is never cached.
import { mergeConfig } from "vitest/config";
import shared from "./vitest.shared.mjs";

const config = mergeConfig(shared, { test: { outputFile: { json: "reports/test-slow.json" }, testTimeout: 900_000 } });
config.test.include = ["test/slow/**/*.test.ts"];
config.test.exclude = [];
export default config;
