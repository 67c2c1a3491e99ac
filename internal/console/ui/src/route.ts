// The address: #/page/rest?filters. It holds what is looked at and by which filters, so
// that a link shows another operator the same.
import { useEffect, useState } from 'preact/hooks';

export interface Route {
  page: string;
  rest: string[];
  params: URLSearchParams;
}

export function parseHash(hash: string): Route {
  const [path, search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, ...rest] = path.split('/').map(decode);
  return { page: page || 'overview', rest: rest.filter(Boolean), params: new URLSearchParams(search) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseHash(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parseHash(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

export type Params = Record<string, string | undefined>;

export function href(page: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value) search.set(key, value);
  const text = search.toString();
  return `#/${page}${text && '?' + text}`;
}

export function go(page: string, params: Params = {}, replace = false): void {
  const target = href(page, params);
  if (target === location.hash) dispatchEvent(new HashChangeEvent('hashchange'));
  else if (replace) location.replace(target);
  else location.hash = target;
}

/** withParam is the present address with one parameter changed. */
export function withParam(route: Route, key: string, value?: string): string {
  const params: Params = Object.fromEntries(route.params);
  params[key] = value;
  return href([route.page, ...route.rest.map(encodeURIComponent)].join('/'), params);
}
