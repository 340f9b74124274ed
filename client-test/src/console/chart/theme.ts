/** The colours of the chart, read from the style sheet, so that it follows light and dark. */

export interface Theme {
  readonly panel: string;
  readonly text: string;
  readonly line: string;
  readonly up: string;
  readonly down: string;
  readonly accent: string;
  readonly amber: string;
  readonly faint: string;
  readonly violet: string;
}

const NAMES: readonly (keyof Theme)[] = ["panel", "text", "line", "up", "down", "accent", "amber", "faint", "violet"];

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as unknown as Theme;
}

/** Calls back whenever the user's system changes between light and dark. */
export function onThemeChange(changed: () => void): void {
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", changed);
}

/** A colour `#rrggbb` with an opacity from 0 to 1. */
export function faded(colour: string, opacity: number): string {
  return `${colour}${Math.round(opacity * 255).toString(16).padStart(2, "0")}`;
}
