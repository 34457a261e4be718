// The WebAssembly emitter, for compiled code that works together with the engine (see compiled-hypercalls.ts).
export { FunctionBody, type I32, type I64, type Label, label, type Stmt, type ValueType } from "./body.ts";
export { ModuleBuilder } from "./module.ts";
export * from "./ops.ts";
export { type FunctionTable, functionTable, type GrowableMemory, growableMemory, instantiate } from "./runtime.ts";
