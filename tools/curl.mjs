#!/usr/bin/env node
/*
 * The few options of curl that the documents use (-s, -i, -X, -H, -d), for the tests on a machine that has Node and no curl.
 */
const words = process.argv.slice(2);
const headers = new Headers();
let method;
let body;
let url;
let showHead = false;
for (let index = 0; index < words.length; index += 1) {
  const word = words[index];
  if (word.startsWith('-') && !word.startsWith('--')) {
    for (const letter of word.slice(1)) {
      if (letter === 'i') showHead = true;
      else if (letter === 'X') method = words[++index];
      else if (letter === 'd') body = words[++index];
      else if (letter === 'H') {
        const line = words[++index];
        headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
      } else if (letter !== 's') throw new Error(`curl stand-in: -${letter} is not known`);
    }
  } else url = word;
}
const response = await fetch(url, { method: method ?? (body === undefined ? 'GET' : 'POST'), headers, body });
if (showHead) {
  process.stdout.write(`HTTP/1.1 ${response.status}\n`);
  for (const [name, value] of response.headers) process.stdout.write(`${name}: ${value}\n`);
  process.stdout.write('\n');
}
process.stdout.write(await response.text());
