// Fetching a kernel with a package manager that is a few lines of shell: what is asked of it, what becomes of its
// answers, and that nothing is left behind when it fails.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ImageCache } from "../src/image/cache.ts";
import { cli, temporaryFolder } from "./helpers.ts";

const RELEASE = "6.1.0-1-powerpc64le";

/** A folder with apt-get, apt-cache and dpkg-deb, which write their arguments to `calls`. */
function fakeApt(scripts: Partial<Record<"apt-get" | "apt-cache" | "dpkg-deb", string>> = {}) {
  const folder = temporaryFolder();
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const calls = join(folder, "calls");
  const all = {
    "apt-get": `case "$*" in
      *update*) echo "dlstatus:1:50.0:Retrieving" >&3; echo "E: one index is stale" >&2; exit 100;;
      *download*) echo "dlstatus:1:80.0:Retrieving" >&3; : >linux-image-${RELEASE}_1_ppc64el.deb;;
    esac`,
    "apt-cache": `echo "linux-image-powerpc64le"; echo "  Depends: linux-image-${RELEASE}"`,
    "dpkg-deb": `case $1 in
      -f) echo 6.1.2-3;;
      -x) mkdir -p "$3/boot" "$3/lib/modules/${RELEASE}/kernel"; echo kernel >"$3/boot/vmlinux-${RELEASE}";;
    esac`,
    ...scripts,
  };
  for (const [name, body] of Object.entries(all)) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>"${calls}"\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const cache = join(folder, "cache");
  const env = { PATH: `${bin}:${process.env.PATH}`, MINIVMM_CACHE: cache };
  return { env, cache, calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []) };
}

const pull = (env: Record<string, string>) => cli(["image", "pull", "debian-ppc64el"], env);

describe("cli image: pull", () => {
  it("unpacks the kernel that the meta package depends on, even when one index is stale", async () => {
    const { env, cache, calls } = fakeApt();
    const { status, stdout, stderr } = await pull(env);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: [
        "  package index",
        "  package index 50%",
        `  linux-image-${RELEASE}`,
        `  linux-image-${RELEASE} 75%`,
        "  unpacking",
        "",
      ].join("\n"),
    });
    expect(stdout).toContain(`kernel   ${cache}/debian-ppc64el/boot/vmlinux-${RELEASE}`);
    expect(readdirSync(cache)).toEqual(["debian-ppc64el"]);
    expect(new ImageCache(cache, {}).find("debian-ppc64el")).toMatchObject({
      package: `linux-image-${RELEASE}`,
      version: "6.1.2-3",
      release: RELEASE,
      modules: `lib/modules/${RELEASE}`,
    });
    expect(calls().map((call) => call.replace(/ .* /, " ... "))).toHaveLength(5);
  });

  it("keeps the package manager's state to itself", async () => {
    const { env, cache, calls } = fakeApt();
    await pull(env);
    for (const call of calls().filter((each) => each.startsWith("apt-"))) {
      for (const key of ["Dir::State", "Dir::State::status", "Dir::Cache"]) {
        expect(call).toMatch(new RegExp(`-o ${key}=${cache}/\\.fetching-`));
      }
      expect(call).toContain("-o APT::Architecture=ppc64el -o APT::Architectures=ppc64el");
      expect(call).not.toMatch(/\binstall\b|add-architecture|https?:/);
    }
  });

  it("does not ask anybody when the image is there", async () => {
    const { env, calls } = fakeApt();
    await pull(env);
    const before = calls().length;
    const { status, stdout } = await pull(env);
    expect({ status, asked: calls().length - before }).toEqual({ status: 0, asked: 0 });
    expect(stdout).toContain("(was here already)");
  });

  const failures: [string, Parameters<typeof fakeApt>[0], RegExp][] = [
    [
      "no such package",
      { "apt-cache": "exit 0" },
      /^minivmm: apt has no package linux-image-powerpc64le for ppc64el\n {2}1\. E: one index/,
    ],
    [
      "a failing download",
      { "apt-get": "echo 'E: no route' >&2; exit 100" },
      /apt has no package .*\n {2}1\. E: no route/,
    ],
    [
      "a broken package",
      { "dpkg-deb": "echo 'broken archive' >&2; exit 2" },
      /the package cannot be used: .*: broken archive/,
    ],
    [
      "a package without a kernel",
      { "dpkg-deb": '[ $1 = -f ] || mkdir -p "$3/boot"' },
      /there is no boot\/vmlinux-\* in it/,
    ],
  ];
  for (const [title, scripts, message] of failures) {
    it(`says one clear thing about ${title} and leaves nothing behind`, async () => {
      const { env, cache } = fakeApt(scripts);
      const { status, stderr } = await pull(env);
      expect(status).toBe(1);
      expect(stderr.slice(stderr.indexOf("minivmm:"))).toMatch(message);
      expect(readdirSync(cache)).toEqual([]);
    });
  }

  it("says what is needed where there is no apt", async () => {
    const cache = temporaryFolder();
    const { status, stderr } = await pull({ PATH: "/nonexistent", MINIVMM_CACHE: cache });
    expect(status).toBe(1);
    expect(stderr).toContain(
      "minivmm: cannot start apt-get: no such file or directory\nhint: fetching a kernel needs a Debian",
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it("says so when the cache cannot be written", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const { status, stderr } = await cli(["image", "pull", "debian-ppc64el", "--cache", join(file, "cache")]);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^minivmm: the image cache cannot be changed: .*: not a directory\nhint: choose another folder/,
    );
  });

  it("ends an interrupted fetch with everything tidied up", async () => {
    const { env, cache } = fakeApt({ "apt-get": "exec sleep 30" });
    const running = pull(env);
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.emit("SIGINT", "SIGINT");
    expect(await running).toMatchObject({ status: 130, stderr: expect.stringContaining("apt-get was interrupted") });
    expect(readdirSync(cache)).toEqual([]);
  });
});

describe("cli image: list and rm", () => {
  it("show what is there, as text and as JSON, and take it away", async () => {
    const { env, cache } = fakeApt();
    expect((await cli(["image", "list"], env)).stdout).toContain(`no images in ${cache}`);
    await pull(env);
    expect((await cli(["image", "list"], env)).stdout).toMatch(/^NAME .*\ndebian-ppc64el {2}6\.1\.0-1-powerpc64le/);
    expect(JSON.parse((await cli(["image", "list", "--json"], env)).stdout)).toMatchObject([
      { name: "debian-ppc64el" },
    ]);
    expect(await cli(["image", "rm", "debian-ppc64el"], env)).toMatchObject({
      status: 0,
      stdout: "removed debian-ppc64el\n",
    });
    expect(await cli(["image", "rm", "debian-ppc64el"], env)).toMatchObject({ status: 1 });
    expect(readdirSync(cache)).toEqual([]);
  });

  it("clear away what a killed fetch left a day ago, and not what may still be at work", () => {
    const folder = temporaryFolder();
    const cache = new ImageCache(folder, {});
    const [old, young] = [cache.begin(), cache.begin()];
    utimesSync(old, 0, 0);
    const next = cache.begin();
    expect(
      readdirSync(folder)
        .map((name) => join(folder, name))
        .sort(),
    ).toEqual([young, next].sort());
  });

  it("do not take a half-made image for one", () => {
    const cache = temporaryFolder();
    mkdirSync(join(cache, "debian-ppc64el"));
    writeFileSync(join(cache, "debian-ppc64el", "image.json"), "{}");
    expect(new ImageCache(cache, {}).list()).toEqual([]);
  });

  it("refuse a name that is not in the catalog, so that no path leaves the cache", async () => {
    for (const name of ["../etc", "debian", "__proto__"]) {
      expect(await cli(["image", "rm", name])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining("unknown image"),
      });
    }
    expect((await cli(["image", "pull", "debian-ppc64le"])).stderr).toContain("did you mean debian-ppc64el?");
  });
});

describe("cli image: where the cache is", () => {
  it("comes from the option, MINIVMM_CACHE, XDG_CACHE_HOME and HOME, in this order", () => {
    const env = { MINIVMM_CACHE: "/m", XDG_CACHE_HOME: "/x", HOME: "/h" };
    expect(new ImageCache("/o", env).folder).toBe("/o");
    expect(new ImageCache(undefined, env).folder).toBe("/m");
    expect(new ImageCache(undefined, { ...env, MINIVMM_CACHE: "" }).folder).toBe("/x/minivmm");
    expect(new ImageCache(undefined, { HOME: "/h" }).folder).toBe("/h/.cache/minivmm");
  });
});
