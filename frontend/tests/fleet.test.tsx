import { describe, expect, test } from 'vitest';
import { EVERYTHING, isFiltered, paramsOf, queryFrom } from '@/api/fleet_query';
import { countOf } from '@/features/fleet/counters';
import { chosenView } from '@/features/fleet/fleet_page';
import { matcherFor, stateAt } from '@/features/fleet/map/fleet_words';
import { cellAt, layoutOf, neighbour, vmAt } from '@/features/fleet/map/layout';
import { pathOf } from '@/features/fleet/sparkline';
import { axisText, durationText, momentText } from '@/ui/time';

describe('the address', () => {
  test('keeps what is asked for, and only that', () => {
    const query = {
      ...EVERYTHING,
      search: 'wéb & co',
      health: ['down', 'reset_failed'] as const,
      labels: ['tier=web', 'rack=r7'],
      paused: false,
      sort: '-cpu' as const,
    };
    const there = paramsOf({ ...query, health: [...query.health] });
    expect(queryFrom(new URLSearchParams(there.toString()))).toEqual(query);
    expect(paramsOf(EVERYTHING).toString()).toBe('');
    expect(isFiltered(EVERYTHING)).toBe(false);
  });

  test('passes over what makes no sense', () => {
    const search = new URLSearchParams('health=down,sad&sort=colour&paused=perhaps');
    expect(queryFrom(search)).toEqual({ ...EVERYTHING, health: ['down'] });
  });
});

test('each VM is counted once, though the API counts reset_failed as down too', () => {
  const counts = { total: 5, healthy: 1, warning: 0, down: 3, unknown: 1, resetFailed: 1 };
  expect(countOf(counts, 'down')).toBe(2);
  expect(countOf(counts, 'reset_failed')).toBe(1);
});

test('small fleets are cards, large ones and phones are rows, and a wish goes before', () => {
  expect(chosenView(null, 'auto', 12, false)).toBe('cards');
  expect(chosenView(null, 'auto', 10_000, false)).toBe('table');
  expect(chosenView(null, 'auto', 12, true)).toBe('table');
  expect(chosenView(null, 'map', 12, false)).toBe('map');
  expect(chosenView('cards', 'map', 12, false)).toBe('cards');
});

describe('the map', () => {
  const count = 10_000;
  const fleet = {
    version: 1,
    takenAt: '',
    nodes: Array.from({ length: 100 }, (_, node) => ({ cluster: 'default', node: `pve-${node}` })),
    ids: Array.from({ length: count }, (_, index) => index + 1),
    hostnames: Array.from({ length: count }, (_, index) => `vm-${index}`),
    node: Array.from({ length: count }, (_, index) => index % 100),
    states: `${'h'.repeat(count - 2)}d?`,
    flags: Array.from({ length: count }, () => 0),
  };
  const layout = layoutOf(fleet, 1200);

  test('has a place for each of 10,000 VMs, none of them taken twice', () => {
    const taken = new Set(
      layout.places.map(({ block, place }) => {
        const there = layout.blocks[block];
        if (there === undefined) throw new Error('no such block');
        const { x, y } = cellAt(there, place);
        expect(x).toBeLessThan(1200);
        expect(vmAt(layout, x + 3, y + 3)).toBe(there.members[place]);
        return `${x} ${y}`;
      }),
    );
    expect(taken.size).toBe(count);
  });

  test('arrows lead through all of it and stop at its ends', () => {
    const first = layout.blocks[0]?.members[0] ?? -1;
    expect(neighbour(layout, first, 'left')).toBe(first);
    expect(neighbour(layout, neighbour(layout, first, 'right'), 'left')).toBe(first);
  });

  test('an unheard-of state is unknown, never healthy', () => {
    expect(stateAt(fleet, count - 1)).toBe('unknown');
    const matches = matcherFor(fleet, { ...EVERYTHING, health: ['down'] });
    expect(fleet.ids.filter((_, index) => matches(index))).toEqual([count - 1]);
  });

  test('an empty fleet has an empty map', () => {
    const none = { ...fleet, nodes: [], ids: [], node: [] };
    expect(layoutOf(none, 300)).toEqual({ blocks: [], height: 0, places: [] });
  });
});

describe('time in words', () => {
  test.each([
    [0, '0 s'],
    [59, '59 s'],
    [754, '12 min'],
    [125, '2 min 5 s'],
    [3604, '1 h'],
    [12_000, '3 h 20 min'],
    [187_200, '2 d 4 h'],
    [-5, '0 s'],
  ])('%i seconds', (seconds, text) => {
    expect(durationText(seconds)).toBe(text);
  });

  test('a moment names its zone', () => {
    expect(momentText(Date.UTC(2026, 2, 1, 11, 50, 4), 'utc')).toBe('2026-03-01 11:50:04 UTC');
  });

  test('an axis has hours of 24, and days where hours say nothing', () => {
    const moment = Date.UTC(2026, 2, 1, 23, 50, 4);
    expect(axisText(moment, 'utc', 3600)).toBe('23:50');
    expect(axisText(moment, 'utc', 3 * 86_400)).toBe('03-01 23:50');
    expect(axisText(moment, 'utc', 30 * 86_400)).toBe('03-01');
  });
});

describe('a sparkline', () => {
  test('is broken where nothing is known, and a lone value is a dot', () => {
    const path = pathOf([0, 100, null, 50, null, 10, 20]);
    expect(path.match(/M/g)?.length).toBe(3);
    expect(path).toContain('h0.1');
    expect(pathOf([null, null])).toBe('');
  });
});
