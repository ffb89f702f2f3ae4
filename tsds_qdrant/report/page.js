"use strict";

const plots = JSON.parse(document.getElementById("plots").textContent);

for (const [place, { plot, buttons }] of Object.entries(plots)) {
  Plotly.newPlot(place, plot.data, plot.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: buttons.length > 0,
    modeBarButtons: [buttons],
  });
}
