/* release-version: v3 */
(function () {
  "use strict";

  var version = "v3";

  /* Beside the version, the name of the release directory that the web server answered from. */
  function show(directory) {
    document.querySelectorAll(".release").forEach(function (place) {
      place.innerHTML = "release <b></b>";
      place.querySelector("b").textContent = version;
      if (directory) {
        place.append(" · " + directory);
      }
    });
  }

  show("");
  fetch(location.href, { method: "HEAD", cache: "no-store" }).then(
    function (answer) {
      show(answer.headers.get("X-Release"));
    },
    function () {
      show(""); /* opened as a file: there is no server to ask */
    }
  );
})();
/* end v3 */
