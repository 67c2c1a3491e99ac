// How numbers, times and stretches of time are written.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(n: number | undefined | null): string {
  return n === undefined || n === null || Number.isNaN(n) ? '–' : whole.format(n);
}

/** plural writes "1 letter", "3 letters". */
export function plural(n: number, one: string, many = one + 's'): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function rate(n: number | undefined | null): string {
  if (n === undefined || n === null || Number.isNaN(n)) return '–';
  if (n === 0) return '0';
  if (n < 0.1) return '<0.1';
  return n < 10 ? n.toFixed(1) : whole.format(n);
}

/** latency writes seconds in the unit that fits. */
export function latency(s: number | undefined | null): string {
  if (s === undefined || s === null || Number.isNaN(s) || s <= 0) return '–';
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 0.01) return `${(s * 1e3).toFixed(1)} ms`;
  if (s < 1) return `${Math.round(s * 1e3)} ms`;
  return s < 10 ? `${s.toFixed(1)} s` : duration(s);
}

/** duration writes seconds roughly: two units at most. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86400), 'd', Math.floor((s % 86400) / 3600), 'h');
}

function two(a: number, unit: string, b: number, small: string): string {
  return b && a < 10 ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`;
}

export function bytes(n: number | undefined): string {
  if (n === undefined) return '–';
  if (n < 1024) return `${n} B`;
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(1)} KiB`;
  if (n < 1024 ** 3) return `${Math.round(n / 1024 ** 2)} MiB`;
  return `${(n / 1024 ** 3).toFixed(1)} GiB`;
}

/** parse reads RFC 3339, or unix seconds or milliseconds. NaN for what is no time. */
export function parse(t: string | number | undefined | null): number {
  if (t === undefined || t === null || t === '') return NaN;
  if (typeof t === 'number') return t < 1e11 ? t * 1000 : t;
  const ms = Date.parse(t);
  return ms < 0 ? NaN : ms; // Go's zero time
}

const sameDay = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const otherDay = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export function clock(t: string | number | undefined | null): string {
  const ms = parse(t);
  if (Number.isNaN(ms)) return '–';
  return (new Date(ms).toDateString() === new Date().toDateString() ? sameDay : otherDay).format(ms);
}

/** clockMillis is clock with milliseconds, for what happens quickly. */
export function clockMillis(t: string | number | undefined | null): string {
  const ms = parse(t);
  return Number.isNaN(ms) ? '–' : `${clock(ms)}.${String(Math.floor(ms) % 1000).padStart(3, '0')}`;
}

/** ago writes how long ago, or how soon. */
export function ago(t: string | number | undefined | null): string {
  const ms = parse(t);
  if (Number.isNaN(ms)) return '–';
  const s = (Date.now() - ms) / 1000;
  if (Math.abs(s) < 1) return 'now';
  return s > 0 ? `${duration(s)} ago` : `in ${duration(-s)}`;
}

/** since returns the time that "90s", "10m", "1h", "7d" before now is, in RFC 3339; another text as it is. */
export function since(text: string): string {
  const match = /^(\d+)([smhd])$/.exec(text);
  if (!match) return text && !Number.isNaN(Date.parse(text)) ? new Date(text).toISOString() : text;
  const unit = { s: 1, m: 60, h: 3600, d: 86400 }[match[2] as 's' | 'm' | 'h' | 'd'];
  return new Date(Date.now() - Number(match[1]) * unit * 1000).toISOString();
}

const words: Record<string, string> = {
  invalid: 'Invalid',
  too_large: 'Too large',
  expired: 'Expired',
  exhausted: 'Attempts used up',
  overflow: 'Too many waiting',
  discarded: 'Discarded',
  write_error: 'Write failed',
  slow_consumer: 'Client too slow',
  ack_timeout: 'Not acknowledged',
  unreachable: 'Node unreachable',
  offline: 'Offline',
  replay: 'Replay',
  discard: 'Discard',
  release: 'Release',
  discard_waiting: 'Discard waiting',
  prune_groups: 'Prune groups',
};

/** word is a name of the closed sets for people; other names as they are. */
export function word(name: string): string {
  return words[name] ?? name.replaceAll('_', ' ');
}

export const deaths = ['invalid', 'too_large', 'expired', 'exhausted', 'overflow', 'discarded'];
export const failures = ['write_error', 'slow_consumer', 'ack_timeout', 'unreachable', 'offline'];

/** payloadText is a payload for people: JSON in lines, other text as it is, bytes as base64. */
export function payloadText(p: { data?: unknown; data_base64?: string; text?: string }): { text: string; kind: string } {
  if (p.data !== undefined) {
    if (typeof p.data === 'string') {
      try {
        return { text: JSON.stringify(JSON.parse(p.data), null, 2), kind: 'JSON' };
      } catch {
        return { text: JSON.stringify(p.data), kind: 'JSON' };
      }
    }
    return { text: JSON.stringify(p.data, null, 2), kind: 'JSON' };
  }
  if (p.text !== undefined) {
    try {
      return { text: JSON.stringify(JSON.parse(p.text), null, 2), kind: 'JSON' };
    } catch {
      return { text: p.text, kind: 'text' };
    }
  }
  if (p.data_base64 !== undefined) return { text: p.data_base64, kind: 'binary, base64' };
  return { text: '', kind: 'empty' };
}
