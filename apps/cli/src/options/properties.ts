// QEMU's property lists, `driver,key=value,key2=value`: the first item may leave out its key, a comma inside a value is
// written twice, a key alone means "on". A reader takes what it knows, by type; whatever is left over was not known.
import { usageError } from "../errors.ts";
import { parseSize, type SizeUnit } from "./size.ts";
import { closest, suggestion } from "./suggest.ts";

/** Splits at single commas; `,,` is a comma in the text. */
export function splitCommas(text: string): string[] {
  const items: string[] = [];
  let item = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ",") item += text[i];
    else if (text[i + 1] === ",") {
      item += ",";
      i++;
    } else {
      items.push(item);
      item = "";
    }
  }
  return [...items, item];
}

/** One option's properties, read key by key. Every method throws CliError USAGE_OPTION for a bad value. */
export class Properties {
  /** What the list belongs to, for messages: `-device vfio-pci`. */
  readonly owner: string;
  private readonly values = new Map<string, string>();
  private readonly known = new Set<string>();

  /** `implicitKey` is the key of a first item that has none. */
  constructor(owner: string, text: string, implicitKey?: string) {
    this.owner = owner;
    splitCommas(text).forEach((item, index) => {
      const equals = item.indexOf("=");
      if (index === 0 && implicitKey !== undefined && equals < 0) this.values.set(implicitKey, item);
      else if (item === "") throw usageError(`${owner}: empty property in "${text}"`, "write key=value[,key=value...]");
      else if (equals < 0) this.values.set(item, "on");
      else this.values.set(item.slice(0, equals), item.slice(equals + 1));
    });
  }

  /** A text, or undefined when it is not given. */
  text(key: string): string | undefined {
    this.known.add(key);
    const value = this.values.get(key);
    this.values.delete(key);
    if (value === "") throw usageError(`${this.owner}: ${key} is empty`, `write ${key}=VALUE or leave it out`);
    return value;
  }

  /** Whether it is given; it does not become known by that. */
  has(key: string): boolean {
    return this.values.has(key);
  }

  required(key: string, example: string): string {
    const value = this.text(key);
    if (value !== undefined) return value;
    // A misspelt key is what left this one out.
    const near = [...this.values.keys()].find((given) => closest(given, [key]) !== undefined);
    if (near !== undefined) throw usageError(`${this.owner}: unknown property "${near}"`, `did you mean ${key}=?`);
    throw usageError(`${this.owner}: ${key} is missing`, `write ${key}=${example}`);
  }

  onOff(key: string): boolean | undefined {
    const value = this.oneOf(key, ["on", "off", "yes", "no", "true", "false"]);
    return value === undefined ? undefined : ["on", "yes", "true"].includes(value);
  }

  oneOf<T extends string>(key: string, allowed: readonly T[]): T | undefined {
    const value = this.text(key);
    if (value === undefined || (allowed as readonly string[]).includes(value)) return value as T | undefined;
    throw usageError(`${this.owner}: ${key}=${value} is not possible`, `${key} is one of ${allowed.join(", ")}`);
  }

  /** Bytes. */
  size(key: string, unit: SizeUnit): number | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : parseSize(value, unit, `${this.owner}: ${key}`);
  }

  /** A file descriptor that this process was started with. */
  descriptor(key: string): number | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (/^\d{1,9}$/.test(value) && Number(value) > 2) return Number(value);
    throw usageError(`${this.owner}: ${key}=${value} is not a passed descriptor`, "the number of an open file above 2");
  }

  /** Everything was asked for: what is left is not known. */
  finish(): void {
    for (const key of this.values.keys()) {
      const known = [...this.known];
      throw usageError(
        `${this.owner}: unknown property "${key}"`,
        suggestion(key, known, known.length > 0 ? `known: ${known.join(", ")}` : "it has no properties"),
        { property: key },
      );
    }
  }
}
