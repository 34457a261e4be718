export { default } from "../../vitest.kvm.mjs";
