// Light or dark: as the system has it, or as was chosen here. Pictures ask for their colours by name.
import { computed, effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
export const theme = signal<Theme>(stored());
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
const system = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", () => (system.value = systemIsDark.matches));

function stored(): Theme {
  try {
    const found = localStorage.getItem("theme");
    return found === "light" || found === "dark" ? found : "auto";
  } catch {
    return "auto";
  }
}

effect(() => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("theme", theme.value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
});

export interface Palette {
  paper: string;
  ink: string;
  quiet: string;
  line: string;
  casing: string;
  accent: string;
  bad: string;
  warn: string;
  steps: string[];
  classes: string[];
}

/** The colours as they are now: a probe resolves what the sheet says. */
export const palette = computed<Palette>(() => {
  void [theme.value, system.value];
  const probe = document.body.appendChild(document.createElement("i"));
  const color = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const many = (name: string, number: number) => Array.from({ length: number }, (_, at) => color(`${name}${at}`));
  const found: Palette = {
    paper: color("paper"), ink: color("ink"), quiet: color("ink-2"), line: color("line"), casing: color("casing"), accent: color("accent"),
    bad: color("bad"), warn: color("warn"), steps: many("step", 7), classes: many("ct", 8),
  };
  probe.remove();
  return found;
});
