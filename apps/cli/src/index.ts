// The face of the package for programs: the command line as a function, and its parts that are useful on their own.
export { main, parseCommandLine } from "./cli.ts";
export { CliError, exitStatusOf, renderError } from "./errors.ts";
export { CHECK_IDS, type CheckId, type CheckResult, type CheckStatus } from "./host/checks/check.ts";
export { examineHost } from "./host/checks/index.ts";
export { listPci, type PciListEntry } from "./host/pci-list.ts";
export { type CachedImage, ImageCache } from "./image/cache.ts";
export { type KernelModule, modulesFor } from "./image/modules.ts";
export type { CliIo } from "./io.ts";
export { normaliseArgv, type ParsedArgv, parseArgv } from "./options/argv.ts";
export { type OptionSpec, type OptionTable, RUN_OPTIONS } from "./options/table.ts";
export { renderSummary } from "./render/summary.ts";
