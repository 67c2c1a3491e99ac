// Charts: uPlot on a canvas, with the same said in words for those who do not see it.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { themeChanged } from './theme';

export interface Line {
  label: string;
  color: 1 | 2 | 3;
  values: (number | null)[];
}

export interface ChartProps {
  title: string;
  times: number[]; // unix seconds
  lines: Line[];
  write: (n: number) => string;
  /** Of what is counted, there are no halves. */
  whole?: boolean;
}

const height = 150;

const steps = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

export function Chart(p: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = p.lines.map((l) => l.label).join();
  const write = useRef(p.write);
  write.current = p.write;
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [p.times, ...p.lines.map((l) => l.values)];

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element, p.lines, (n) => write.current(n), !!p.whole), data.current, element);
    };
    draw();
    const resized = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width && plot.current && plot.current.width !== width) plot.current.setSize({ width, height });
    });
    resized.observe(element);
    themeChanged.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      themeChanged.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(data.current), [p.times, ...p.lines.map((l) => l.values)]);

  return (
    <figure class="chart card">
      <figcaption>
        <span class="chart-title">{p.title}</span>
        <span class="legend">
          {p.lines.map((l) => (
            <span key={l.label} class={'line' + l.color}>
              {l.label} <b>{p.write(last(l.values))}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} class="plot" role="img" aria-label={inWords(p)} />
    </figure>
  );
}

function last(values: (number | null)[]): number {
  return values.findLast((v) => v !== null) ?? NaN;
}

/** spread is the least, the greatest and the last value. */
export function spread(values: (number | null)[]): [number, number, number] {
  let least = Infinity;
  let most = -Infinity;
  for (const v of values) {
    if (v === null) continue;
    least = Math.min(least, v);
    most = Math.max(most, v);
  }
  return most === -Infinity ? [NaN, NaN, NaN] : [least, most, last(values)];
}

function inWords(p: ChartProps): string {
  const lines = p.lines.map((l) => {
    const [least, most, now] = spread(l.values);
    return Number.isNaN(now) ? `${l.label}: nothing yet` : `${l.label}: now ${p.write(now)}, between ${p.write(least)} and ${p.write(most)}`;
  });
  return `${p.title}. ${lines.join('. ')}.`;
}

function options(element: HTMLElement, lines: Line[], write: (n: number) => string, whole: boolean): uPlot.Options {
  const color = (name: string) => colorOf(element, name);
  const axis = { stroke: color('--quiet'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  return {
    width: element.clientWidth || 300,
    height,
    legend: { show: false },
    cursor: { sync: { key: 'pushgate' }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 70, values: (_, ticks) => ticks.map((t) => timeOfDay(t)) },
      { ...axis, size: 56, space: 28, ...(whole ? { incrs: steps } : {}), values: (_, ticks) => ticks.map((v) => (v === 0 ? '0' : write(v))) },
    ],
    series: [{}, ...lines.map((l) => ({ stroke: color('--chart' + l.color), fill: l.color === 1 ? color('--chart-fill') : undefined, width: 1.75, points: { show: true, size: 4, filter: alone } }))],
  };
}

/** alone picks the values without a neighbour: no line is drawn to them. */
function alone(u: uPlot, line: number): number[] {
  const values = u.data[line];
  return [...values.keys()].filter((i) => values[i] != null && values[i - 1] == null && values[i + 1] == null);
}

const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function timeOfDay(t: number): string {
  return (t % 60 ? seconds : minutes).format(t * 1000);
}

/** colorOf resolves a custom property to a colour a canvas understands. */
function colorOf(element: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
