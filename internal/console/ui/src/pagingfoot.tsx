import { count, plural } from './format';
import { Loading, Problem } from './parts';
import type { Paged } from './paging';

/** PagingFoot stands below a list: how much was read, and the way on. */
export function PagingFoot<T>(p: { of: Paged<T>; one: string; many?: string }) {
  const { of } = p;
  const searching = !of.complete && of.next !== '';
  return (
    <div class="paging">
      {of.failure && <Problem failure={of.failure} retry={of.rows.length || of.asked ? of.more : of.reload} stale={of.rows.length > 0} />}
      {of.loading && <Loading what={of.asked ? 'more' : p.many ?? p.one + 's'} />}
      {!of.loading && of.asked && (
        <>
          <p class="fine" role="status">
            {plural(of.rows.length, p.one, p.many)}
            {searching && of.scanned > 0 ? `; searched ${count(of.scanned)} records so far, and there are more.` : of.next ? '; there are more.' : ', and that is all.'}
          </p>
          {of.next && (
            <button type="button" class="button" onClick={of.more}>
              {searching && of.scanned > 0 ? 'Go on searching' : 'Show more'}
            </button>
          )}
        </>
      )}
    </div>
  );
}
