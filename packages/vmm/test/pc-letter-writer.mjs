// Lets a thread of a test run source code.
import { register } from "tsx/esm/api";

register();
await import("./pc-letter-writer.ts");
