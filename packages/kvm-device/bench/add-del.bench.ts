// What registering a group with KVM and taking it out again costs on the modelled host, through the client.
import { bench, describe } from "vitest";
import { KvmVfioDevice } from "../src/index.ts";
import { testHost } from "../test/fixture.ts";

describe.each(["6.12", "4.12"] as const)("kvm-device on %s", (profile) => {
  const { newVm, open, attach, groups } = testHost({ profile, coherent: false });
  const group = open(groups.a);
  attach(group);
  const device = KvmVfioDevice.create(newVm().vm);
  bench("add and delete a group", () => {
    device.add(group.fd);
    device.remove(group.fd);
  });
});
