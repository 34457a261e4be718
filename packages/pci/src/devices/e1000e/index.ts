// Intel's 82574L.
export { E1000eDevice, type E1000eOptions, type EthernetWire } from "./device.ts";
