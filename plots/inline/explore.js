(id, hello) => {
	let bound = null, connection = null, tries = 0;
	const send = (e) => globalThis.gonb_comm?.send(e.dataset.address, Number(e.value));
	const label = (e) => { // the value, above the handle
		const output = e.parentElement.querySelector("output"), value = JSON.parse(e.dataset.values)[e.value];
		const along = e.max > 0 ? e.value / e.max : 0, handle = 16;
		output.textContent = value;
		output.style.left = `calc(${100 * along}% + ${handle * (0.5 - along)}px)`;
		e.setAttribute("aria-valuetext", value);
	};
	const watch = () => {
		const root = document.getElementById(id);
		if (!root && (bound || tries++ > 300)) return; // the cell has ended
		if (root && root !== bound) {
			bound = root;
			for (const kind of ["keydown", "keypress", "keyup"]) root.addEventListener(kind, (e) => e.stopPropagation());
			for (const e of root.querySelectorAll("[data-address]")) {
				const moved = () => {
					e.dataset.moved = "";
					if (e.dataset.values) label(e);
					send(e);
				};
				e.addEventListener(e.tagName === "BUTTON" ? "click" : "input", moved);
				if (e.dataset.values) label(e);
			}
		}
		if (root && globalThis.gonb_comm && globalThis.gonb_comm !== connection) {
			connection = globalThis.gonb_comm;
			connection.send(hello, 1);
			root.querySelectorAll("[data-moved]").forEach(send);
		}
		setTimeout(watch, 100);
	};
	watch();
}
