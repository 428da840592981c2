const TITLES = {
  'features.smart-send-times': 'Smart send times',
  'advanced-reporting': 'Advanced reporting',
  'advanced-analytics-v2-ui': 'Analytics (new)',
  'ai-assistant-screen': 'Assistant',
};

/** The gated screen: what is on is offered, what was not bought is shown locked, and the meters say how much is used. */
export function screen({ customer, gates, locked, meters }) {
  const shown = Object.entries(gates).filter(([key, on]) => on || locked.includes(key));
  const tiles = shown.map(([key, on]) => {
    const text = on ? 'open' : 'locked — upgrade to use it';
    return `<li class="${on ? 'on' : 'locked'}"><b>${escapeHtml(TITLES[key] ?? key)}</b><span>${text}</span></li>`;
  });
  const rows = Object.entries(meters).map(
    ([name, text]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(text)}</td></tr>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sales for ${escapeHtml(customer)}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1c2430; background: #f6f7f9 }
  h1 { font-weight: 650; letter-spacing: -0.01em }
  ul { list-style: none; padding: 0; display: grid; grid-template-columns: 1fr 1fr; gap: 0.75rem }
  li { background: #fff; border: 1px solid #dfe3e8; border-radius: 10px; padding: 0.9rem 1rem; display: flex; flex-direction: column }
  li.on { border-left: 4px solid #1d7f5f } li.locked { border-left: 4px solid #b9c0ca; color: #5b6675 }
  table { width: 100%; background: #fff; border: 1px solid #dfe3e8; border-radius: 10px; border-spacing: 0; padding: 0.5rem 1rem }
  th { text-align: left; font-weight: 500; padding: 0.35rem 0 } td { text-align: right; font-variant-numeric: tabular-nums }
</style>
<h1>Sales for ${escapeHtml(customer)}</h1><ul>${tiles.join('')}</ul><table>${rows.join('')}</table></html>`;
}

function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
