export { default } from "../../vitest.slow.mjs";
