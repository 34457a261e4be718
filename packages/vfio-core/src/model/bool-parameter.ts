/** A yes-or-no module parameter as a file below /sys/module. Source: param_get_bool, kstrtobool. */
import { EINVAL } from "@minivmm/host";
import type { SysFs } from "@minivmm/host/model";

const TRUE = /^(y|t|1|on)/i;
const FALSE = /^(n|f|0|of)/i;

/** `name` is the module's and the parameter's, as in "vfio_pci/nointxmask". */
export function boolParameter(sysfs: SysFs, name: string, get: () => boolean, set: (value: boolean) => void): void {
  const [module, parameter] = name.split("/");
  sysfs.file(`/sys/module/${module}/parameters/${parameter}`, {
    read: () => (get() ? "Y\n" : "N\n"),
    write: (text) => {
      if (!TRUE.test(text) && !FALSE.test(text)) return -EINVAL;
      set(TRUE.test(text));
      return 0;
    },
  });
}
