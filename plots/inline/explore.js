(id, hello) => {
	let bound = null, connection = null, tries = 0;
	const send = (e) => globalThis.gonb_comm?.send(e.dataset.address, Number(e.value));
	const watch = () => {
		const root = document.getElementById(id);
		if (!root && (bound || tries++ > 300)) return; // the cell has ended
		if (root && root !== bound) {
			bound = root;
			for (const e of root.querySelectorAll("[data-address]")) {
				e.addEventListener(e.tagName === "BUTTON" ? "click" : "input", () => { e.dataset.moved = ""; send(e); });
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