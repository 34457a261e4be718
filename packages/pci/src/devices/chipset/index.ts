// The functions of a Q35 machine's chipset.
export { Ich9Ahci } from "./ahci.ts";
export { type HostBridgeOptions, Q35HostBridge } from "./host-bridge.ts";
export { Ich9Lpc, type LpcOptions } from "./lpc.ts";
export { Ich9Smbus } from "./smbus.ts";
