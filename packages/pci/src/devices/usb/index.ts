// USB host controllers.
export { EhciDevice, type EhciOptions } from "./ehci.ts";
export { UhciDevice, type UhciOptions } from "./uhci.ts";
export { XhciDevice, type XhciOptions } from "./xhci.ts";
