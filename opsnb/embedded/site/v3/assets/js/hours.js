/* Marks today's line in the opening hours. */
(function () {
  "use strict";

  var days = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
  var today = days[new Date().getDay()];

  document.querySelectorAll(".hours [data-days~=" + today + "]").forEach(function (row) {
    row.classList.add("today");
  });
})();
