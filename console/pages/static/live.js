// What makes pages renew themselves honest. The renewing itself is htmx: each page names its own address and
// the part of it to renew; without script a page is as good as a reload.
"use strict";

// Whoever points at something, or is reading with the keyboard inside, must not have it moved away.
document.addEventListener("htmx:beforeRequest", function (event) {
  const part = event.target;
  const inside = part.contains(document.activeElement) && document.activeElement !== part;
  if (inside || String(window.getSelection()) !== "") {
    event.preventDefault();
  }
});

// A page that no longer renews itself says so: old numbers must not pass for new ones.
function isStale(hidden) {
  document.getElementById("stale").hidden = hidden;
}
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, function () { isStale(false); });
}
document.addEventListener("htmx:afterSwap", function () { isStale(true); });

// The reason is what is missing, so that is where one writes.
for (const details of document.querySelectorAll("details.halt")) {
  details.addEventListener("toggle", function () {
    if (details.open) { details.querySelector("input[name=reason]").focus(); }
  });
}
