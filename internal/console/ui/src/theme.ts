// The theme: as the system has it, until somebody chooses.
export type Theme = 'light' | 'dark' | '';

const key = 'pushgate-theme';

export function chosenTheme(): Theme {
  try {
    const theme = localStorage.getItem(key);
    return theme === 'light' || theme === 'dark' ? theme : '';
  } catch {
    return ''; // Storage may be forbidden; the system's theme then.
  }
}

export function applyTheme(theme: Theme): void {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function isDark(): boolean {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

/** Told after every change of the theme, by whomever: what is drawn has to be drawn anew. */
export const themeChanged = new EventTarget();

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => themeChanged.dispatchEvent(new Event('change')));

export function toggleTheme(): void {
  const theme = isDark() ? 'light' : 'dark';
  applyTheme(theme);
  try {
    localStorage.setItem(key, theme);
  } catch {
    // It lasts as long as the page, then.
  }
  themeChanged.dispatchEvent(new Event('change'));
}
