"use strict";
// The owner's page. The token is in the URL fragment (#), which browsers do not send to the server.

const byId = (id) => document.getElementById(id);
const REFRESH_SECONDS = 30;
let token = decodeURIComponent(location.hash.slice(1));
let timer = 0;

const ask = (path) => fetch(path, { headers: { authorization: "Bearer " + token } });

function cell(text, tag = "td") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function fill(body, rows) {
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}

async function refresh() {
  clearTimeout(timer);
  const reply = await ask("/owner/status").catch(() => null);
  if (reply === null || !reply.ok) {
    byId("message").textContent = reply === null ? "No connection. Trying again." : await reply.text();
    byId("ask").hidden = reply === null;
    byId("numbers").hidden = reply !== null;
    if (reply !== null) return;
  } else {
    const status = await reply.json();
    fill(document.querySelector("#summary tbody"), status.summary.map(([name, value]) => [cell(name, "th"), cell(value)]));
    fill(document.querySelector("#people thead"), [status.columns.map((name) => cell(name, "th"))]);
    fill(document.querySelector("#people tbody"), status.people.map((row) => row.map((value) => cell(value))));
    byId("message").textContent = "";
    byId("ask").hidden = true;
    byId("numbers").hidden = false;
  }
  timer = setTimeout(refresh, 1000 * REFRESH_SECONDS);
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  refresh();
});

byId("export").addEventListener("click", async () => {
  const reply = await ask("/owner/export");
  if (!reply.ok) {
    byId("message").textContent = await reply.text();
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await reply.blob());
  link.download = "judgments.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});

if (token) refresh();
else byId("ask").hidden = false;
