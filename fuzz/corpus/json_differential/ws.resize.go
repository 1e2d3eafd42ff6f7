{"Width":80,"Height":24}
