// Numbers for people: thousands in groups, large counts in millions, times in the unit that fits.

/** 1234567 -> "1,234,567". */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 523400000 -> "523.4 M". Below 100,000 the exact count. */
export function large(value: number): string {
  if (value < 1e5) return grouped(value);
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} M` : `${(value / 1e9).toFixed(2)} G`;
}

/** Milliseconds: "3.2 ms", "412 ms", "12.34 s". */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
