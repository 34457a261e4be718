/** Hot reset of VFIO PCI devices: ABI, client, and the plan of who is affected. */
export * from "./client/carry-out.ts";
export { type FunctionFacts, functionFacts, isVfioPciDriver, linkName, textFile } from "./client/function-facts.ts";
export { type GroupOwnership, type GroupState, groupOwnership } from "./client/group-ownership.ts";
export * from "./client/hot-reset.ts";
export { containerObstacle, type Obstacle, type ObstacleCode } from "./client/obstacles.ts";
export * from "./client/plan.ts";
export { type ImpossibleReason, type ResetReach, resetReach } from "./client/reach.ts";
export * from "./client/survey.ts";
export * from "./error.ts";
export * from "./uapi.ts";
